import { Fleet } from '../conformance/process/fleet.ts'
import { Lab } from '../conformance/lab.ts'
import type { ConformanceTarget } from '../conformance/target.ts'

const fleets = new Map<string, Fleet>()

/** Runs `work` with a store and processes of its own, which end with it. `target`: as of the conformance suite. */
export async function withLab (target: URL, work: (lab: Lab) => Promise<void>): Promise<void> {
  const { href } = target
  const fleet = fleets.get(href) ?? new Fleet(href)
  fleets.set(href, fleet)
  const lab = new Lab(await import(href) as ConformanceTarget, fleet)
  try {
    await work(lab)
  } finally {
    await lab.dispose()
  }
}
