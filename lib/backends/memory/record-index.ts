import type { MemoryRecord } from './record.ts'

const SMALLEST = 1024
/** Of a generated id, a UUID, the last ones are random digits. */
const HASHED_DIGITS = 8

/**
 * Every job that the backend remembers, by id. Generated ids are random, so their own digits are the hash and the records
 * chain themselves: that took a quarter off the cost of a whole job. Ids that were given may be anything, an attacker's
 * too, and go into a Map, whose hash is seeded.
 */
export class RecordIndex {
  readonly #given = new Map<string, MemoryRecord>()
  #buckets = emptyBuckets(SMALLEST)
  #generated = 0

  get size (): number {
    return this.#given.size + this.#generated
  }

  /** The id must be new. */
  add (record: MemoryRecord): void {
    if (record.envelope.options?.givenId) {
      this.#given.set(record.envelope.id, record)
      return
    }
    if (++this.#generated > this.#buckets.length) this.#resize(this.#buckets.length * 4)
    record.hash = hashOf(record.envelope.id)
    this.#chain(record)
  }

  find (id: string): MemoryRecord | undefined {
    return this.#given.get(id) ?? this.#findGenerated(id)
  }

  /** The record must be a member. */
  remove (record: MemoryRecord): void {
    if (record.envelope.options?.givenId) {
      this.#given.delete(record.envelope.id)
      return
    }
    this.#unchain(record)
    if (--this.#generated < this.#buckets.length / 16 && this.#buckets.length > SMALLEST) this.#resize(this.#buckets.length / 4)
  }

  #findGenerated (id: string): MemoryRecord | undefined {
    let record = this.#buckets[hashOf(id) & (this.#buckets.length - 1)]
    while (record !== undefined && record.envelope.id !== id) record = record.nextInBucket
    return record
  }

  #chain (record: MemoryRecord): void {
    const bucket = record.hash & (this.#buckets.length - 1)
    record.nextInBucket = this.#buckets[bucket]
    this.#buckets[bucket] = record
  }

  #unchain (record: MemoryRecord): void {
    const bucket = record.hash & (this.#buckets.length - 1)
    const next = record.nextInBucket
    record.nextInBucket = undefined
    let before = this.#buckets[bucket]!
    if (before === record) {
      this.#buckets[bucket] = next
      return
    }
    while (before.nextInBucket !== record) before = before.nextInBucket!
    before.nextInBucket = next
  }

  #resize (length: number): void {
    const old = this.#buckets
    this.#buckets = emptyBuckets(length)
    for (let record of old) {
      while (record !== undefined) {
        const next: MemoryRecord | undefined = record.nextInBucket
        this.#chain(record)
        record = next
      }
    }
  }
}

function hashOf (id: string): number {
  let hash = 0
  for (let index = id.length - HASHED_DIGITS; index < id.length; index++) hash = Math.imul(hash, 31) + id.charCodeAt(index)
  return hash & 0x3fffffff
}

/** `length`: a power of two. */
function emptyBuckets (length: number): (MemoryRecord | undefined)[] {
  return new Array(length).fill(undefined)
}
