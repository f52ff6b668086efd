import type { Client } from './connections.ts'
import { PRIORITY_OF_NONE } from './record.ts'

/** What adding a job to a full queue answers; BullMQ's own codes are negative numbers, too. */
export const FULL = -1000

/** BullMQ's scripts that add a job, each with what it is called here. */
export const ADDING = { addStandardJob: 'jobsAddStandard', addPrioritizedJob: 'jobsAddPrioritized', addDelayedJob: 'jobsAddDelayed' }

/** What BullMQ's script is called here that gives a dead letter back. */
export const RETRY = 'jobsRetry'

/** BullMQ's factor between a priority and the score of its first job. */
const SCORES_PER_PRIORITY = 0x100000000

/** Before a script that adds, whose are KEYS and ARGV[1] to ARGV[3]; the capacity and the beginning of the queue's keys come after. */
const guard = `
if redis.call('LLEN', ARGV[5] .. 'wait') + redis.call('ZCARD', ARGV[5] .. 'prioritized') + redis.call('ZCARD', ARGV[5] .. 'delayed') >= tonumber(ARGV[4]) then return ${FULL} end
`

/**
 * Before the script that gives a dead letter (KEYS[1], of KEYS[3]) back: it has no past, and its unique key again, unless another
 * job has that. The time and the beginning of the queue's keys come after the arguments.
 */
const revive = `
do
  if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return -3 end
  local uniqueKey = redis.call('HGET', KEYS[1], 'deid')
  if uniqueKey then
    local holder = redis.call('GET', ARGV[8] .. 'de:' .. uniqueKey)
    if holder and holder ~= ARGV[1] then return -3 end
    redis.call('SET', ARGV[8] .. 'de:' .. uniqueKey, ARGV[1])
  end
  redis.call('HDEL', KEYS[1], 'stc', 'stacktrace', 'error', 'progress', 'defa')
  redis.call('HSET', KEYS[1], 'due', ARGV[7])
end
`

/**
 * Before a script without which workers stand still, or lose their leases: a write that changes nothing. Redis, when its memory is
 * full, stops scripts at the first command that takes some, unless they have written before.
 */
const evenIfFull = `
redis.call('PERSIST', KEYS[1])
`

/**
 * Before a script that fetches: where BullMQ takes the next job of the wait list (all of them have KEYS[2], active, and
 * KEYS[3], prioritized), one with a priority above that of plain jobs goes first. Without such jobs, and none that may
 * fall due, it costs one command. `dueKey`: the place among its keys of something that is there when a job may fall due
 * meanwhile: the delayed jobs; the hash of the job that becomes one of them.
 */
function highFirst (dueKey: number): string {
  return `
local server = redis
local redis = server
if server.call('EXISTS', KEYS[3], KEYS[${dueKey}]) > 0 then
  redis = setmetatable({
    call = function (command, ...)
      if command == 'RPOPLPUSH' then
        local first = server.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
        if first[2] and tonumber(first[2]) < ${PRIORITY_OF_NONE * SCORES_PER_PRIORITY} then
          server.call('ZREM', KEYS[3], first[1])
          server.call('LPUSH', KEYS[2], first[1])
          return first[1]
        end
      end
      return server.call(command, ...)
    end
  }, { __index = server })
end
`
}

/** What comes before BullMQ's scripts that hand out a job. The latter two have written when they take memory. */
const FETCHING = { moveToActive: evenIfFull + highFirst(7), moveToFinished: highFirst(7), moveToDelayed: highFirst(5) }

/** BullMQ returns stalled jobs, whatever their priority, to the wait list (KEYS[2]): from there to the head of their priority. */
function prioritizeStalled (lua: string): string {
  return `
${evenIfFull}local stalled = (function ()
${lua}
end)()
for _, id in ipairs(stalled) do
  local priority = tonumber(redis.call('HGET', ARGV[2] .. id, 'priority')) or 0
  if priority > 0 then
    redis.call('LREM', KEYS[2], -1, id)
    redis.call('ZADD', ARGV[2] .. 'prioritized', priority * ${SCORES_PER_PRIORITY}, id)
  end
end
return stalled`
}

export interface Script {
  readonly lua: string
  readonly numberOfKeys: number
}

/** Defines BullMQ's scripts that make jobs wait once more, with what comes before: one command, as without. `client` has BullMQ's scripts. */
export function defineAddingScripts (client: Client): void {
  for (const [original, name] of Object.entries(ADDING)) {
    const [, { lua, numberOfKeys }] = scriptOf(client, original)
    client.defineCommand(name, { numberOfKeys, lua: guard + lua })
  }
  const [, { lua, numberOfKeys }] = scriptOf(client, 'reprocessJob')
  client.defineCommand(RETRY, { numberOfKeys, lua: revive + lua })
}

/** What takes the place of BullMQ's scripts that workers live by, by their names. `client` has BullMQ's scripts. */
export function workingScripts (client: Client): Map<string, Script> {
  const scripts = Object.entries(FETCHING).map(([original, before]) => changed(scriptOf(client, original, 'RPOPLPUSH'), (lua) => before + lua))
  return new Map([
    ...scripts,
    changed(scriptOf(client, 'moveStalledJobsToWait', 'return stalled'), prioritizeStalled),
    changed(scriptOf(client, 'extendLocks'), (lua) => evenIfFull + lua)
  ])
}

function changed ([name, { lua, numberOfKeys }]: [string, Script], change: (lua: string) => string): [string, Script] {
  return [name, { numberOfKeys, lua: change(lua) }]
}

/** `part`: what a script must have, to be changed as it is here. */
function scriptOf (client: Client, original: string, part = ''): [string, Script] {
  const { scriptsSet } = client as unknown as { scriptsSet: Record<string, Script> }
  // BullMQ appends its version.
  const script = Object.entries(scriptsSet).find(([name, { lua }]) => name.startsWith(`${original}:`) && lua.includes(part))
  if (script === undefined) throw new Error(`the version of bullmq that is installed is not supported: its script '${original}' is another one`)
  return script
}
