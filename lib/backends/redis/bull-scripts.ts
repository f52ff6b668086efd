import type { Client } from './connections.ts'
import { PRIORITY_OF_NONE } from './record.ts'

/** What adding a job to a full queue answers; BullMQ's own codes are negative numbers, too. */
export const FULL = -1000

/** BullMQ's scripts that add a job, each with what it is called here. */
export const ADDING = { addStandardJob: 'jobsAddStandard', addPrioritizedJob: 'jobsAddPrioritized', addDelayedJob: 'jobsAddDelayed' }

/** BullMQ's scripts that hand out a job, each with the place of the delayed jobs among its keys. */
const DELAYED_KEY: Record<string, number> = { moveToActive: 7, moveToFinished: 7, moveToDelayed: 4 }

/** BullMQ's factor between a priority and the score of its first job. */
const SCORES_PER_PRIORITY = 0x100000000

/** Before a script that adds, whose are KEYS and ARGV[1] to ARGV[3]; the capacity and the beginning of the queue's keys come after. */
const guard = `
if redis.call('LLEN', ARGV[5] .. 'wait') + redis.call('ZCARD', ARGV[5] .. 'prioritized') + redis.call('ZCARD', ARGV[5] .. 'delayed') >= tonumber(ARGV[4]) then return ${FULL} end
`

/**
 * Before a script that fetches: where BullMQ takes the next job of the wait list (all of them have KEYS[2], active, and
 * KEYS[3], prioritized), one with a priority above that of plain jobs goes first. Without such jobs, and none that may
 * fall due, it costs one command.
 */
function highFirst (delayedKey: number): string {
  return `
local server = redis
local redis = server
if server.call('EXISTS', KEYS[3], KEYS[${delayedKey}]) > 0 then
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

/** BullMQ returns stalled jobs, whatever their priority, to the wait list (KEYS[2]): from there to the head of their priority. */
function prioritizeStalled (lua: string): string {
  return `
local stalled = (function ()
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

interface Script { lua: string, numberOfKeys: number }

function scriptsOf (client: Client): [string, Script][] {
  return Object.entries((client as unknown as { scriptsSet: Record<string, Script> }).scriptsSet)
}

/** Defines BullMQ's scripts that add jobs once more, with a look at the room before: one command, as without. `client` has BullMQ's scripts. */
export function defineAddingScripts (client: Client): void {
  for (const [original, { lua, numberOfKeys }] of scriptsOf(client)) {
    const name = (ADDING as Record<string, string>)[baseOf(original)]
    if (name !== undefined) client.defineCommand(name, { numberOfKeys, lua: guard + lua })
  }
}

/** Defines, before BullMQ does, which leaves them alone then, its scripts that decide about the order. `source` has BullMQ's scripts. */
export function defineOrderingScripts (client: Client, source: Client): void {
  for (const [name, { lua, numberOfKeys }] of scriptsOf(source)) {
    const delayedKey = DELAYED_KEY[baseOf(name)]
    if (delayedKey !== undefined) client.defineCommand(name, { numberOfKeys, lua: highFirst(delayedKey) + lua })
    else if (baseOf(name) === 'moveStalledJobsToWait') client.defineCommand(name, { numberOfKeys, lua: prioritizeStalled(lua) })
  }
}

/** BullMQ appends its version. */
function baseOf (name: string): string {
  return name.split(':', 1)[0]!
}
