/** The figures of `stats`. */

export interface FileTotals {
  readonly fileCount: number
  readonly byteCount: number
}

export interface BlobTotals {
  readonly blobCount: number
  readonly byteCount: number
}
