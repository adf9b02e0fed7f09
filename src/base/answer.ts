/**
 * What may be there at once, or come later. What is there is used at once: a mount answers most
 * requests without a turn of the event loop, which would cost more than the answer.
 */

export type Answer<T> = T | Promise<T>

/** `next` of an answer, as soon as it is there. */
export function thenAnswer<T, U>(answer: Answer<T>, next: (value: T) => Answer<U>): Answer<U> {
  return answer instanceof Promise ? later(answer, next) : next(answer)
}

async function later<T, U>(answer: Promise<T>, next: (value: T) => Answer<U>): Promise<U> {
  return await next(await answer)
}

/** The answer, or what `recover` makes of the error that came instead. */
export function orElse<T>(ask: () => Answer<T>, recover: (error: unknown) => Answer<T>): Answer<T> {
  try {
    const answer = ask()
    return answer instanceof Promise ? orElseLater(answer, recover) : answer
  } catch (error) {
    return recover(error)
  }
}

async function orElseLater<T>(
  answer: Promise<T>,
  recover: (error: unknown) => Answer<T>,
): Promise<T> {
  try {
    return await answer
  } catch (error) {
    return await recover(error)
  }
}
