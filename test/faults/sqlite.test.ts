import t from 'tap'
import '../helpers/file-timeout.ts'
import { until } from '../conformance/until.ts'
import { deaths } from './deaths.ts'
import { withLab } from './lab.ts'

const target = new URL('../conformance/targets/sqlite.ts', import.meta.url)
const skip = await import('node:sqlite').then(() => false, () => 'NOT TESTED: node:sqlite needs Node >= 22.13')
const BATCH = 2000

t.test('SQLite', { skip }, async (t) => {
  for (const { name, run } of deaths) t.test(name, () => withLab(target, run))

  t.test('a process killed inside a transaction leaves all of a batch or nothing, and all that it had acknowledged', (t) => withLab(target, async (lab) => {
    const jobs = Array.from({ length: BATCH }, (_, payload) => ({ job: 'record', payload } as const))
    const settings = { works: false, queue: { capacity: 10_000_000 } }
    const watcher = await lab.process(settings)
    for (let victims = 1; victims <= 3; victims++) {
      const victim = await lab.process(settings)
      const known = lab.ledger.lines('acknowledged').length
      victim.enqueueManyForEver(jobs).catch(() => {})
      await until('a batch was acknowledged', () => lab.ledger.lines('acknowledged').length > known)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 50))
      await victim.kill()
      const { queueDepth } = await watcher.status()
      t.equal(queueDepth % BATCH, 0)
      t.ok(queueDepth >= lab.ledger.lines('acknowledged').length * BATCH)
    }
    for (const { id } of lab.ledger.lines('acknowledged')) t.ok(await watcher.get(id))
  }))
})
