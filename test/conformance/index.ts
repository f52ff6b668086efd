import { capacity } from './capacity.ts'
import type { Case } from './case.ts'
import { deadLetterCases } from './dead-letters.ts'
import { enqueue } from './enqueue.ts'
import { inspection } from './inspection.ts'
import { Lab } from './lab.ts'
import { opening } from './opening.ts'
import { order } from './order.ts'
import { payloads } from './payloads.ts'
import { Fleet } from './process/fleet.ts'
import { processes } from './processes.ts'
import { retries } from './retries.ts'
import { schedules } from './schedules.ts'
import { shutdown } from './shutdown.ts'
import type { ConformanceTarget } from './target.ts'
import { unique } from './unique.ts'

export type { Case, Subject } from './case.ts'
export type { ConformanceTarget } from './target.ts'

/** `test` of node:test, tap or vitest. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

/** Everything that a backend promises, a sentence a case. */
export const cases: readonly Case[] = [
  ...enqueue, ...order, ...retries, ...deadLetterCases, ...unique, ...capacity, ...payloads, ...inspection, ...shutdown, ...opening,
  ...schedules, ...processes
]

/**
 * Registers a test for every case that applies to the backend; resolves when all are registered. `target`: URL of a module
 * whose exports are a ConformanceTarget: this process imports it, and so do the processes that cases start and kill.
 */
export async function conformance (test: TestFunction, target: string | URL): Promise<void> {
  const module = await import(String(target)) as ConformanceTarget
  const fleet = new Fleet(String(target))
  for (const one of casesFor(module)) test(one.name, () => runCase(one, module, fleet))
}

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
