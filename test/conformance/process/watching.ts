import type { Subject } from '../case.ts'
import type { Lab } from '../lab.ts'
import { until } from '../until.ts'
import type { JobsProcess } from './jobs-process.ts'
import type { LedgerLine } from './ledger.ts'

export type Two = [JobsProcess, JobsProcess]

export function inspectable ({ capabilities }: Subject): boolean {
  return capabilities.durable && capabilities.inspect
}

/** The attempts that have begun, once there are so many. */
export function started (lab: Lab, count: number): Promise<LedgerLine[]> {
  return lines(lab, 'start', count)
}

/** The attempts whose handlers have returned, once there are so many. */
export function ended (lab: Lab, count: number): Promise<LedgerLine[]> {
  return lines(lab, 'end', count)
}

export async function hasState (process: JobsProcess, id: string, state: string): Promise<void> {
  await until(`job ${id} is ${state}`, async () => (await process.get(id))?.state === state)
}

function lines ({ ledger }: Lab, event: LedgerLine['event'], count: number): Promise<LedgerLine[]> {
  return until(`the ledger has ${count} lines of '${event}'`, () => {
    const lines = ledger.lines(event)
    return lines.length >= count && lines
  }, { progress: () => ledger.length })
}
