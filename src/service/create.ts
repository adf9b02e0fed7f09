/** `init`, and the first half of `backup --init`. */

import { toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { checkChunkerParameters } from '../chunker/create-chunker.ts'
import { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 } from '../format/constants.ts'
import { createRepository } from '../repository/initialize.ts'
import { hasRepository } from '../repository/stored-files.ts'
import type { Repository } from '../repository/repository.ts'
import type { Access } from './access.ts'

export interface CreateChoices {
  /** Average bytes of a chunk, a power of two. */
  readonly chunkSize: number | undefined
  readonly cipher: 'chacha20-poly1305' | 'aes-256-gcm' | undefined
  readonly packBytes: number | undefined
  /** To cut as it cuts, and to give equal chunks equal ids. */
  readonly like?: Repository
}

function chunkerOf(averageBytes: number) {
  const chunker = {
    algorithm: 1,
    minBytes: averageBytes / 2,
    averageBytes,
    maxBytes: averageBytes * 4,
  }
  try {
    checkChunkerParameters(chunker)
    return chunker
  } catch (cause) {
    throw new CairnError(
      'CAIRN_USAGE',
      `${averageBytes} is not a chunk size: give a power of two from 512 to 16M, as 128K`,
      { cause },
    )
  }
}

/** Whether there is something to back up to already. */
export async function isCreated(access: Access): Promise<boolean> {
  return await hasRepository(access.backend, access.signal)
}

/** Creates a repository and returns its id. Asks for the secret twice where it has to ask. */
export async function createAt(access: Access, choices: CreateChoices): Promise<string> {
  const { backend, seams, signal } = access
  const { like, chunkSize } = choices
  const chunker = like?.box.chunker ?? (chunkSize === undefined ? undefined : chunkerOf(chunkSize))
  // Before a password is asked for and derived.
  if (await hasRepository(backend, signal)) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot create repository at '${backend.location}': there is a repository already`,
    )
  }
  const { process } = seams
  const id = await createRepository(
    { backend, clock: seams.clock, random: seams.random },
    {
      secret: await access.secret('twice'),
      label: `${process.username}@${process.hostname}`,
      ...(chunker === undefined ? {} : { chunker }),
      ...(like === undefined ? {} : { idKeys: like.keyring.ids }),
      ...(choices.packBytes === undefined ? {} : { dataPackBytes: choices.packBytes }),
      aead: choices.cipher === 'aes-256-gcm' ? AEAD_AES_256_GCM : AEAD_CHACHA20_POLY1305,
      signal,
    },
  )
  await access.forgetPlace()
  return toHex(id)
}
