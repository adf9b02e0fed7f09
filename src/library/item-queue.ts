/** Between an operation that pushes items and a caller that takes them: neither gets far ahead. */

export class ItemQueue<T> {
  /** How many wait at most before whoever gives is held up. */
  readonly #itemsMax: number
  #items: T[] = []
  #ended: { readonly error: unknown } | undefined
  #isAbandoned = false
  #wakeTaker: () => void = () => {}
  #wakeGiver: () => void = () => {}

  constructor(itemsMax: number) {
    this.#itemsMax = itemsMax
  }

  push(item: T): void {
    this.#items.push(item)
    this.#wakeTaker()
  }

  /** No more will come; with an error if the operation failed. */
  end(error?: unknown): void {
    this.#ended = { error }
    this.#wakeTaker()
  }

  /** Nobody takes any more: whoever gives is not held up. */
  abandon(): void {
    this.#isAbandoned = true
    this.#wakeGiver()
  }

  /** Resolves when there is room. */
  async drained(): Promise<void> {
    if (this.#items.length < this.#itemsMax || this.#isAbandoned) return
    await new Promise<void>((resolve) => {
      this.#wakeGiver = resolve
    })
  }

  async *items(): AsyncGenerator<T, void> {
    for (;;) {
      const taken = this.#items
      this.#items = []
      this.#wakeGiver()
      yield* taken
      if (this.#items.length > 0) continue
      if (this.#ended !== undefined) {
        if (this.#ended.error !== undefined) throw this.#ended.error
        return
      }
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve
      })
    }
  }
}
