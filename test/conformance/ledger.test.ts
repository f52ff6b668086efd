import { appendFileSync } from 'node:fs'
import t from 'tap'
import { Ledger } from './process/ledger.ts'

t.test('a ledger reads what others write, and waits for the end of a line that is being written', async (t) => {
  const ledger = new Ledger()
  t.teardown(() => ledger.remove())
  t.same([ledger.lines(), ledger.length], [[], 0])
  const other = new Ledger(ledger.path)
  other.append({ event: 'start', id: 'ü' })
  t.match(ledger.lines(), [{ event: 'start', id: 'ü', pid: process.pid }])
  appendFileSync(ledger.path, '{"event":"end","id":"')
  t.equal(ledger.length, 1)
  appendFileSync(ledger.path, 'ü"}\n')
  other.append({ event: 'end', id: 'b' })
  t.same(ledger.lines('end').map(({ id }) => id), ['ü', 'b'])
  t.equal(ledger.length, 3)
})
