import type { Errand, KnownKeys, Turn } from './known-keys.ts'
import { groupByKey, type EventRow } from './store.ts'

/** Bytes of payload, as the store counts them, from which on a batch takes no further event. */
const BATCH_BYTES = 16 * 1024 * 1024

/** What a store does for a batch that is made up: looks for keys, or reads the next events of some. */
export type Step =
  | Exclude<Errand, { type: 'take' }>
  | Read

/** Up to `share` events of each key, in their order, until those that can be had come to `bytes` of payload. */
export interface Read {
  readonly type: 'read'
  readonly turns: readonly Turn[]
  readonly share: number
  readonly bytes: number
  /** Nothing is taken so far. */
  readonly isFirst: boolean
}

/** An unfinished event of a key whose turn it is. */
export type Candidate = EventRow & {
  readonly bytes: number
  /** Milliseconds until it is due; 0 when it is. */
  readonly wait: number
  /** It is due, and from now on this process has it. */
  readonly isHeld: boolean
}

/** What a read found. `isCut`: there may be more, which was not read because of the bytes. */
export interface Found {
  readonly candidates: readonly Candidate[]
  readonly isCut: boolean
}

/**
 * Makes up a batch of up to `limit` events: of each key the first unfinished event, if it is due, and those after it up to the first that
 * cannot be had. Each key gets an equal share, what the short ones leave goes to the long ones. Keys come in the order of their turns.
 */
export function * take (keys: KnownKeys, limit: number): Generator<Step, Candidate[], Found | undefined> {
  for (const errand of keys.errands(limit)) {
    if (errand.type !== 'take') {
      yield errand
      continue
    }
    const taken = yield * takeOf(errand.turns, limit, keys)
    if (taken.length > 0) return taken
  }
  return []
}

function * takeOf (first: readonly Turn[], limit: number, keys: KnownKeys): Generator<Read, Candidate[], Found | undefined> {
  const unread = new Set(first)
  const taken: Candidate[] = []
  let left = BATCH_BYTES
  let turns = first
  while (turns.length > 0 && taken.length < limit && left > 0) {
    const share = Math.max(1, Math.floor((limit - taken.length) / turns.length))
    const asked = turns.slice(0, limit - taken.length)
    const { candidates, isCut } = (yield { type: 'read', turns: asked, share, bytes: left, isFirst: taken.length === 0 })!
    const byKey = groupByKey(candidates)
    const following: Turn[] = []
    for (const turn of asked) {
      const { key } = turn
      const own = byKey.get(key) ?? []
      if (own.length === 0 && isCut) {
        following.push(turn)
        continue
      }
      const gap = own.findIndex(({ isHeld }) => !isHeld)
      const held = gap === -1 ? own : own.slice(0, gap)
      for (const one of held) {
        taken.push(one)
        left -= one.bytes
      }
      const mayHaveMore = held.length === share || (isCut && gap === -1)
      if (mayHaveMore) following.push({ key, floor: Number(held.at(-1)!.seq) })
      else if (held.length === 0 && unread.has(turn)) passOver(key, own[0], keys)
    }
    turns = following
  }
  return taken
}

/** A key that another process has comes to the end of the row. */
function passOver (key: string, head: Candidate | undefined, keys: KnownKeys): void {
  if (head === undefined) keys.forget(key)
  else if (head.wait === 0) keys.served(key, 0, 0)
  else keys.waits(key, head.wait)
}
