import { randomInt } from 'node:crypto'
import { chaos } from './chaos.ts'
import { withLab } from './lab.ts'

/** One round over the backend of that target; rejects when something was lost. `seed` repeats the same faults, not the same moments. */
export function round (target: URL, seed = randomInt(2 ** 31)): Promise<void> {
  return withLab(target, (lab) => chaos(lab, seed))
}
