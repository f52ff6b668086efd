import { capacity } from './capacity.ts'
import type { Case } from './case.ts'
import { context } from './context.ts'
import { deadLetterCases } from './dead-letters.ts'
import { deployments } from './deployments.ts'
import { enqueue } from './enqueue.ts'
import { inspection } from './inspection.ts'
import { Lab } from './lab.ts'
import { opening } from './opening.ts'
import { order } from './order.ts'
import { outages } from './outages.ts'
import { payloads } from './payloads.ts'
import type { Fleet } from './process/fleet.ts'
import { processes } from './processes.ts'
import { retries } from './retries.ts'
import { schedules } from './schedules.ts'
import { shutdown } from './shutdown.ts'
import { stalls } from './stalls.ts'
import type { ConformanceTarget } from './target.ts'
import { ticks } from './ticks.ts'
import { unique } from './unique.ts'

/** Everything that a backend promises, a sentence a case. */
export const cases: readonly Case[] = [
  ...enqueue, ...order, ...retries, ...deadLetterCases, ...deployments, ...unique, ...capacity, ...payloads, ...inspection, ...context, ...shutdown, ...opening, ...outages,
  ...schedules, ...ticks, ...processes, ...stalls
]

/** The cases that apply to the backend. */
export function casesFor (target: ConformanceTarget): readonly Case[] {
  const { capabilities } = target.connect('conformance')
  return cases.filter(({ appliesTo }) => appliesTo === undefined || appliesTo({ capabilities, target }))
}

/** Runs one case in a store of its own, which is removed afterwards. Rejects when the backend does otherwise. */
export async function runCase ({ run }: Case, target: ConformanceTarget, fleet: Fleet): Promise<void> {
  const lab = new Lab(target, fleet)
  try {
    await run(lab)
  } finally {
    await lab.dispose()
  }
}
