import { randomFillSync } from 'node:crypto'

/** Few, for an id keeps the text that it is cut from. */
const BATCH = 32
const LENGTH = 36
/** The two hexadecimal digits of every byte, and where in the text each byte's digits go. */
const HIGH = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0').charCodeAt(0))
const LOW = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(16).charCodeAt(byte < 16 ? 0 : 1))
const POSITIONS = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34)

const random = new Uint8Array(BATCH * 16 * 32)
let used = random.length
const digits = Buffer.alloc(BATCH * LENGTH, '-')
let text = ''
let next = 0

/**
 * A version 7 UUID (RFC 9562): begins with the time, then 74 random bits. Ids that were made at about the same time are
 * neighbours in a database's index, where random ones would touch a page each. Made in batches, since that is less work for the
 * engine than an id at a time; the time is the batch's.
 */
export function uuid (): string {
  if (next === text.length) fill()
  const id = text.slice(next, next + LENGTH)
  next += LENGTH
  return id
}

function fill (): void {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  const now = Date.now()
  const high = Math.floor(now / 0x10000)
  for (let start = 0; start < digits.length; start += LENGTH) {
    random[used] = high >>> 24
    random[used + 1] = high >>> 16
    random[used + 2] = high >>> 8
    random[used + 3] = high
    random[used + 4] = now >>> 8
    random[used + 5] = now
    random[used + 6] = (random[used + 6]! & 0x0f) | 0x70
    random[used + 8] = (random[used + 8]! & 0x3f) | 0x80
    for (let index = 0; index < 16; index++) {
      const at = start + POSITIONS[index]!
      const byte = random[used++]!
      digits[at] = HIGH[byte]!
      digits[at + 1] = LOW[byte]!
    }
  }
  text = digits.toString('latin1')
  next = 0
}
