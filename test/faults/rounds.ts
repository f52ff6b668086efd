import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import { round } from './round.ts'

const ROUNDS = 3

/** A few rounds; `node test/faults/run.ts` makes as many as one likes. */
export function rounds (t: Test, target: URL): void {
  for (let number = 1; number <= ROUNDS; number++) {
    const seed = randomInt(2 ** 31)
    t.test(`random faults lose nothing: round ${number}, seed ${seed}`, () => round(target, seed))
  }
}
