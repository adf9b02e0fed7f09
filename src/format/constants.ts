/**
 * The numbers of FORMAT.md. Everything here is stored in repositories: values may be added, never
 * changed.
 */

export const FORMAT_VERSION = 1

/** FORMAT.md 4: the type of a blob. */
export const BLOB_TYPE = { data: 1, leaf: 2, inner: 3, list: 4, aux: 5 } as const
export type BlobType = (typeof BLOB_TYPE)[keyof typeof BLOB_TYPE]

/** FORMAT.md 8: what a segment or a pack holds. */
export const SEGMENT_KIND = { data: 0, metadata: 1 } as const
export type SegmentKind = (typeof SEGMENT_KIND)[keyof typeof SEGMENT_KIND]

/** FORMAT.md 7: the kind in a preamble. */
export const OBJECT_KIND = {
  pack: 0,
  index: 1,
  snapshot: 2,
  tombstone: 3,
  mark: 4,
  session: 5,
} as const
export type ObjectKind = (typeof OBJECT_KIND)[keyof typeof OBJECT_KIND]

/** FORMAT.md 5: roles of key slots. */
export const ROLE = { admin: 0, reader: 1, writer: 2 } as const
export type Role = keyof typeof ROLE

export const COMPRESSION = { none: 0, zstd: 1 } as const

/** FORMAT.md 6: padding policy. */
export const PADDING = { none: 0, tail: 1, all: 2 } as const

export const AEAD_CHACHA20_POLY1305 = 1
export const AEAD_AES_256_GCM = 2

/** FORMAT.md 8 and 9: nonce domains. */
export const NONCE_DOMAIN = {
  object: 0,
  segmentHeader: 1,
  segmentBody: 2,
  footer: 3,
  trailer: 4,
} as const

export const TAG_BYTES = 16
export const PREAMBLE_BYTES = 128
export const SEGMENT_ALIGN_BYTES = 64
export const SEGMENT_HEADER_PLAIN_BYTES = 48
export const SEGMENT_HEADER_BYTES = 64
export const SEGMENT_ROW_BYTES = 5
export const TRAILER_PLAIN_BYTES = 48
export const TRAILER_BYTES = 64
export const REFERENCE_BYTES = 36

const MIB = 1 << 20

/** FORMAT.md 20. Checked before anything is allocated. */
export const LIMIT = {
  nameBytesMax: 4095,
  targetBytesMax: 65_535,
  fileBytesMax: Number.MAX_SAFE_INTEGER,
  depthMax: 4096,
  inlineReferencesMax: 128,
  inlineXattrBytesMax: 4096,
  blobBytesMax: 64 * MIB,
  segmentPlainBytesMax: 68 * MIB,
  segmentBlobsMax: 16_384,
  packBytesMax: 4096 * MIB,
  packTargetBytesMax: 1024 * MIB,
  objectBytesMax: 64 * MIB,
  treeHeightMax: 16,
  leafBytesMax: MIB,
  slotBytesMax: 65_536,
  configBytesMax: MIB,
  slotsTriedMax: 64,
} as const

/** FORMAT.md 12 and 13: where leaves, inner nodes and chunk lists end. */
export const SPLIT = {
  leafBytesMin: 16_384,
  leafBytesMax: 262_144,
  leafModulus: 256,
  innerRowsMin: 64,
  innerRowsMax: 1024,
  innerModulus: 64,
  listReferencesMin: 256,
  listReferencesMax: 4096,
  listModulus: 1024,
} as const
