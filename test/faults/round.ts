import { chaos } from './chaos.ts'
import { withLab } from './lab.ts'

/** One round over the backend of that target; rejects when something was lost. `seed` repeats the same faults, not the same moments. */
export function round (target: URL, seed: number): Promise<void> {
  return withLab(target, (lab) => chaos(lab, seed))
}
