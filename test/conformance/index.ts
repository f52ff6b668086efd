import { Fleet } from './process/fleet.ts'
import { casesFor, runCase } from './suite.ts'
import type { ConformanceTarget } from './target.ts'

export type { ConformanceTarget } from './target.ts'

/** `test` of node:test, tap (`t.test`) or vitest. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

/**
 * Registers a test for every case that applies to the backend; resolves when all are registered. `target`: URL of a module
 * whose exports are a ConformanceTarget: this process imports it, and so do the processes that cases start and kill.
 */
export async function conformance (test: TestFunction, target: string | URL): Promise<void> {
  const module = await import(String(target)) as ConformanceTarget
  const fleet = new Fleet(String(target))
  for (const one of casesFor(module)) test(one.name, () => runCase(one, module, fleet))
}
