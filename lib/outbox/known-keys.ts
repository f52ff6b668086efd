import type { Clock } from '../../types/backend.ts'

/** Keys that are remembered, at the most. */
const MAX_KEYS = 100_000
/** The share of a relay's time that looks for keys may take, and walks as well, and the milliseconds of it that can be saved up. */
const SHARE = 0.025
const SAVINGS = 25
/** Milliseconds that can be overdrawn. After something slow, a locked table say, it looks again within a second and walks again within ten. */
const LOOK_DEBT = 25
const WALK_DEBT = 250
/** Milliseconds after which it is worth looking again where there was nothing more, and walking again from the beginning, as long as there is something to take. */
const LOOK_INTERVAL = 10
const WALK_INTERVAL = 250
/** Milliseconds of a walk that are not worth saving. */
const CHEAP = 50
/** Finished events of a key from which on the search for its next one begins behind them, and keys without events of which that is remembered. */
const WORTH_A_FLOOR = 100
const MAX_FLOORS = 10_000
/** Milliseconds between two looks at what waits. */
const WAITING_INTERVAL = 100

export interface Turn {
  readonly key: string
  /** Events up to this `seq` need not be looked at. */
  readonly floor: number
}

/** What is to be done next: look for keys, onwards by `seq` or from key to key, or take events of those whose turn it is. */
export type Errand =
  | { readonly type: 'look', readonly behind: number }
  | { readonly type: 'walk', readonly from: string }
  | { readonly type: 'take', readonly turns: readonly Turn[] }

/** A key, and the `seq` of its first event. */
export interface Seen {
  readonly key: string
  readonly seq: number
}

interface Known {
  /** The `seq` up to which its events are finished, as far as is known. */
  floor: number
  /** Events that were finished since the key is known. */
  finished: number
}

/** Time that may be spent on something. */
class Allowance {
  readonly #clock: Pick<Clock, 'monotonic'>
  #savings = SAVINGS
  #savedAt: number
  readonly #debt: number

  constructor (clock: Pick<Clock, 'monotonic'>, debt: number) {
    this.#clock = clock
    this.#savedAt = clock.monotonic()
    this.#debt = debt
  }

  get hasTime (): boolean {
    const now = this.#clock.monotonic()
    this.#savings = Math.min(this.#savings + (now - this.#savedAt) * SHARE, SAVINGS)
    this.#savedAt = now
    return this.#savings > 0
  }

  spend (milliseconds: number): void {
    this.#savings = Math.max(this.#savings - milliseconds, -this.#debt)
    this.#savedAt = this.#clock.monotonic()
  }
}

/**
 * The keys that have pending events, in the order of their turns: what a relay remembers from batch to batch, so that a batch
 * costs the same whatever waits in the table. It is a memory and not the truth: the store asks the table about every key whose
 * turn it is, and looks for more keys, onwards by `seq` and round and round from key to key, for a share of the time.
 */
export class KnownKeys {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #turns = new Map<string, Known>()
  /** Of keys that have had many events and have none now. */
  readonly #floors = new Map<string, Known>()
  /** Of keys whose first event waits: when it is due, by the monotonic clock. */
  readonly #waiting = new Map<string, number>()
  #nextDue = Infinity
  /** Keys of which an event came at any place since the last batch began. */
  readonly #retried = new Set<string>()
  readonly #forLooks: Allowance
  readonly #forWalks: Allowance
  /** Milliseconds that the last walk took, and the one before. */
  #costs: readonly [number, number] = [0, 0]
  #seenTo = 0
  #hasSeenAll = false
  #lookedAt = -Infinity
  /** Where the walk goes on; '' when it has come to the end. */
  #walkFrom = ''
  #walkBeganAt = -Infinity

  constructor (clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
    this.#forLooks = new Allowance(clock, LOOK_DEBT)
    this.#forWalks = new Allowance(clock, WALK_DEBT)
  }

  /** What to do until there are events for a batch. */
  * errands (limit: number): Generator<Errand> {
    this.#retried.clear()
    this.#wake()
    let isSearching = this.#turns.size === 0
    for (let count = 0, goesOn = true; goesOn; count++) {
      const looks = isSearching || this.#isLookDue
      let walks = false
      if (looks) {
        yield * this.#look()
        walks = isSearching ? this.#forWalks.hasTime || (count < 2 && !this.#isDear) : this.#isWalkDue
        if (walks) yield * this.#walk()
      }
      for (let rest = this.#turns.size; rest > 0; rest -= limit) yield { type: 'take', turns: this.#next(limit) }
      goesOn = !looks || !this.#hasSeenAll || (walks && this.#walkFrom !== '' && this.#forWalks.hasTime)
      isSearching = true
    }
  }

  /** What a look found: the keys of the next events by `seq`, and up to where they were read; `isAll`: there is nothing behind them. */
  saw (ahead: readonly Seen[], seenTo: number, isAll: boolean): void {
    this.#seenTo = Math.max(this.#seenTo, seenTo)
    this.#hasSeenAll = isAll
    for (const { key } of ahead) {
      if (!this.#turns.has(key) && !this.#waiting.has(key)) this.#add(key)
    }
  }

  /** What a walk found: the next keys in their order, and where the walk goes on; '' when it has come to the end. */
  walked (keys: readonly (Seen & { readonly isDue: boolean })[], from: string): void {
    this.#walkFrom = from
    for (const { key, seq, isDue } of keys) {
      const known = this.#turns.get(key) ?? (isDue ? this.#add(key) : this.#floors.get(key))
      if (known !== undefined) known.floor = Math.min(known.floor, seq - 1)
    }
  }

  /** An event of that key may have come at any place. */
  add (key: string): void {
    this.#turns.delete(key)
    this.#floors.delete(key)
    this.#add(key)
    // A batch that is under way has not seen it.
    this.#retried.add(key)
  }

  /** It has had its turn, in which `count` events up to `seq` were finished. Where there are too many keys, it has to be found again. */
  served (key: string, seq: number, count: number): void {
    const known = this.#turns.get(key)
    if (known === undefined) return
    const isFull = this.#turns.size >= MAX_KEYS
    if (!this.#retried.has(key)) {
      known.floor = Math.max(known.floor, seq)
      known.finished += count
    }
    this.#turns.delete(key)
    if (isFull) this.#keepFloor(key, known)
    else this.#turns.set(key, known)
  }

  /** It has nothing to take. */
  forget (key: string): void {
    const known = this.#turns.get(key)
    this.#turns.delete(key)
    if (known !== undefined) this.#keepFloor(key, known)
  }

  /** Its first event is due in so many milliseconds. */
  waits (key: string, milliseconds: number): void {
    this.forget(key)
    if (this.#waiting.size >= MAX_KEYS) return
    const due = this.#clock.monotonic() + milliseconds
    this.#waiting.set(key, due)
    this.#nextDue = Math.min(this.#nextDue, due)
  }

  /** Those whose first event has come due have their turns. */
  #wake (): void {
    const now = this.#clock.monotonic()
    if (now < this.#nextDue) return
    let next = Infinity
    for (const [key, due] of this.#waiting) {
      if (due <= now) this.#add(key)
      else next = Math.min(next, due)
    }
    this.#nextDue = Math.max(next, now + WAITING_INTERVAL)
  }

  #keepFloor (key: string, known: Known): void {
    if (known.finished < WORTH_A_FLOOR) return
    this.#floors.set(key, known)
    if (this.#floors.size > MAX_FLOORS) this.#floors.delete(this.#floors.keys().next().value!)
  }

  #next (limit: number): Turn[] {
    const turns: Turn[] = []
    for (const [key, { floor, finished }] of this.#turns) {
      if (turns.length === limit) break
      turns.push({ key, floor: finished < WORTH_A_FLOOR ? 0 : floor })
    }
    return turns
  }

  #add (key: string): Known {
    const known = this.#floors.get(key) ?? { floor: 0, finished: 0 }
    this.#waiting.delete(key)
    if (this.#turns.size < MAX_KEYS) {
      this.#floors.delete(key)
      this.#turns.set(key, known)
    }
    return known
  }

  get #isLookDue (): boolean {
    return this.#forLooks.hasTime && (!this.#hasSeenAll || this.#clock.monotonic() - this.#lookedAt >= LOOK_INTERVAL)
  }

  get #isWalkDue (): boolean {
    return this.#forWalks.hasTime && (this.#walkFrom !== '' || this.#clock.monotonic() - this.#walkBeganAt >= WALK_INTERVAL)
  }

  * #look (): Generator<Errand, void> {
    const began = this.#lookedAt = this.#clock.monotonic()
    try {
      yield { type: 'look', behind: this.#seenTo }
    } finally {
      this.#forLooks.spend(this.#clock.monotonic() - began)
    }
  }

  /** One that fails has taken its time, too. */
  * #walk (): Generator<Errand, void> {
    const began = this.#clock.monotonic()
    if (this.#walkFrom === '') this.#walkBeganAt = began
    try {
      yield { type: 'walk', from: this.#walkFrom }
    } finally {
      const milliseconds = this.#clock.monotonic() - began
      this.#forWalks.spend(milliseconds)
      this.#costs = [milliseconds, this.#costs[0]]
    }
  }

  /** Where finished events cannot be cleared away, because of an old snapshot, a walk goes over all of them. */
  get #isDear (): boolean {
    return Math.min(...this.#costs) > CHEAP
  }
}
