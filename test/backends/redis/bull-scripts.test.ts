import t from 'tap'
import { defineAddingScripts, workingScripts } from '../../../lib/backends/redis/bull-scripts.ts'

/** A connection with BullMQ's scripts, as far as anybody looks. */
function clientWith (scripts: Record<string, string>) {
  const defined: string[] = []
  const scriptsSet = Object.fromEntries(Object.entries(scripts).map(([name, lua]) => [name, { lua, numberOfKeys: 1 }]))
  return { defined, client: { scriptsSet, defineCommand: (name: string) => { defined.push(name) } } as never }
}

t.test('a version of BullMQ that lacks a script, or whose script fetches in another way, is refused', async (t) => {
  const adding = { 'addStandardJob:7': '', 'addPrioritizedJob:7': '' }
  t.throws(() => defineAddingScripts(clientWith(adding).client), /bullmq that is installed is not supported: its script 'addDelayedJob'/)
  const { client, defined } = clientWith({ ...adding, 'addDelayedJob:7': '', 'reprocessJob:7': '' })
  defineAddingScripts(client)
  t.equal(defined.length, 4)
  t.throws(() => workingScripts(clientWith({ 'moveToActive:7': 'LMOVE' }).client), /its script 'moveToActive'/)
})
