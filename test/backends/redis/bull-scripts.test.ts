import t from 'tap'
import { addingScripts, fetchingScripts, leaseScripts, retryScript, shorten } from '../../../lib/backends/redis/bull-scripts.ts'
import type { ScriptArguments } from '../../../lib/backends/redis/script-arguments.ts'

/** A connection with BullMQ's scripts, as far as anybody looks. */
function clientWith (scripts: Record<string, string>) {
  return { scriptsSet: Object.fromEntries(Object.entries(scripts).map(([name, lua]) => [name, { lua, numberOfKeys: 2 }])) } as never
}

const args = new Proxy({}, { get: () => ['wait', 'metrics:<target>', '<id>', '<target>'] }) as ScriptArguments

t.test('a version of BullMQ that lacks a script, or whose script fetches in another way, is refused', async (t) => {
  const adding = { 'addStandardJob:7': '', 'addPrioritizedJob:7': '' }
  t.throws(() => addingScripts(clientWith(adding), args), /bullmq that is installed is not supported: its script 'addDelayedJob'/)
  t.equal(addingScripts(clientWith({ ...adding, 'addDelayedJob:7': '' }), args).size, 3)
  t.throws(() => fetchingScripts(clientWith({ 'moveToActive:7': 'LMOVE' }), args), /its script 'moveToActive'/)
  t.throws(() => retryScript(clientWith(adding)), /its script 'reprocessJob'/)
  t.throws(() => leaseScripts(clientWith({ 'extendLocks:7': '', 'moveStalledJobsToWait:7': '' })), /its script 'moveStalledJobsToWait'/)
})

t.test('a script gets one key for all of those that BullMQ has for it, and makes them again', async (t) => {
  const script = addingScripts(clientWith({ 'addStandardJob:7': 'return 1', 'addPrioritizedJob:7': '', 'addDelayedJob:7': '' }), args).get('addStandardJob')!
  t.equal(script.numberOfKeys, 1)
  t.match(script.lua, "local KEYS = { base .. 'wait', base .. 'metrics:' .. ARGV[2] }")
  t.ok(script.lua.endsWith('return 1'))
  t.same(shorten(['q:wait', 'q:metrics:completed', '7', 'completed'], script, 'q:'), ['q:', '7', 'completed'])
})
