import { randomInt } from 'node:crypto'
import { Lab } from '../conformance/lab.ts'
import type { ConformanceTarget } from '../conformance/target.ts'
import { chaos } from './chaos.ts'

/** One round over the backend of that target; rejects when something was lost. `seed` repeats the same faults, not the same moments. */
export async function round (target: URL, seed = randomInt(2 ** 31)): Promise<void> {
  const lab = new Lab(await import(target.href) as ConformanceTarget, target.href)
  try {
    await chaos(lab, seed)
  } finally {
    await lab.dispose()
  }
}
