import type { Errand, KnownKeys, Turn } from './known-keys.ts'
import { groupByKey, type EventRow } from './store.ts'

/** Bytes of payload, as the store counts them, from which on a batch takes no further event. */
const BATCH_BYTES = 16 * 1024 * 1024

/** What a store does for a batch that is made up: looks for keys, or reads the next events of some. */
export type Step =
  | Exclude<Errand, { type: 'take' }>
  /** Up to `share` events of each key, in their order, until there are `bytes` of payload. */
  | { readonly type: 'read', readonly turns: readonly Turn[], readonly share: number, readonly bytes: number }

/** An unfinished event of a key whose turn it is. */
export type Candidate = EventRow & {
  readonly isDue: boolean
  /** It is due, and from now on this process has it. */
  readonly isHeld: boolean
}

/** What a read found. */
export interface Found {
  readonly candidates: readonly Candidate[]
  readonly bytes: number
}

/**
 * Makes up a batch of up to `limit` events, which come in the order of their `seq`: of each key the first unfinished event, if it is due,
 * and those after it up to the first that cannot be had. Each key gets an equal share, what the short ones leave goes to the long ones.
 */
export function * take (keys: KnownKeys, limit: number): Generator<Step, Candidate[], Found | undefined> {
  for (const errand of keys.errands(limit)) {
    if (errand.type !== 'take') {
      yield errand
      continue
    }
    const taken = yield * takeOf(errand.turns, limit, keys)
    if (taken.length > 0) return taken.sort((a, b) => Number(a.seq) - Number(b.seq))
  }
  return []
}

function * takeOf (first: readonly Turn[], limit: number, keys: KnownKeys): Generator<Step, Candidate[], Found | undefined> {
  const taken: Candidate[] = []
  let bytes = 0
  let turns = first
  while (turns.length > 0 && taken.length < limit && bytes < BATCH_BYTES) {
    const share = Math.max(1, Math.floor((limit - taken.length) / turns.length))
    const asked = turns.slice(0, limit - taken.length)
    const found: Found = (yield { type: 'read', turns: asked, share, bytes: BATCH_BYTES - bytes })!
    bytes += found.bytes
    const byKey = groupByKey(found.candidates)
    const following: Turn[] = []
    for (const { key } of asked) {
      const candidates = byKey.get(key) ?? []
      const gap = candidates.findIndex(({ isHeld }) => !isHeld)
      const held = gap === -1 ? candidates : candidates.slice(0, gap)
      for (const one of held) taken.push(one)
      if (held.length === share) following.push({ key, floor: Number(held.at(-1)!.seq) })
      // What was not read because of its size is no sign that a key has nothing.
      else if (turns === first && held.length === 0 && bytes < BATCH_BYTES) passOver(key, candidates[0], keys)
    }
    turns = following
  }
  return taken
}

/** A key that another process has comes to the end of the row. One without events, or that waits, is found again once there is something due. */
function passOver (key: string, head: Candidate | undefined, keys: KnownKeys): void {
  if (head?.isDue) keys.served(key, 0, 0)
  else keys.forget(key)
}
