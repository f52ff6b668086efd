import type { Client } from './connections.ts'
import { LOST_START, PRIORITY_OF_NONE } from './record.ts'
import { restoreKeys, type ScriptArguments } from './script-arguments.ts'
import { SCORES_PER_PRIORITY } from './scripts.ts'

/** What adding a job to a full queue answers; BullMQ's own codes are negative numbers, too. */
export const FULL = -1000

/** BullMQ's scripts that add a job, each with what it is called here. */
const ADDING = { addStandardJob: 'jobsAddStandard', addPrioritizedJob: 'jobsAddPrioritized', addDelayedJob: 'jobsAddDelayed' } as const

/** What BullMQ's script is called here that gives a dead letter back. */
export const RETRY = 'jobsRetry'

/** Before a script that adds, whose own arguments come before the capacity. Where all jobs are plain ones it costs two commands. */
const guard = `
local prioritized, delayed = base .. 'prioritized', base .. 'delayed'
local held = redis.call('LLEN', base .. 'wait')
if redis.call('EXISTS', prioritized, delayed) > 0 then held = held + redis.call('ZCARD', prioritized) + redis.call('ZCARD', delayed) end
if held >= tonumber(ARGV[#ARGV]) then return ${FULL} end
`

/**
 * Before the script that gives a dead letter (KEYS[1], of KEYS[3]) back: it has no past, and its unique key again. When another job
 * has that key by now, the answer is the id of that job. The time and the beginning of the queue's keys come after the arguments.
 */
const revive = `
do
  if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return -3 end
  local uniqueKey = redis.call('HGET', KEYS[1], 'deid')
  if uniqueKey then
    local holder = redis.call('GET', ARGV[8] .. 'de:' .. uniqueKey)
    if holder and holder ~= ARGV[1] then return holder end
    redis.call('SET', ARGV[8] .. 'de:' .. uniqueKey, ARGV[1])
  end
  redis.call('HDEL', KEYS[1], 'stc', '${LOST_START}', 'stacktrace', 'error', 'progress', 'defa')
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
 * Before a script that fetches: where BullMQ takes the next job of the wait list, one with a priority above that of plain
 * jobs goes first. Without such jobs, and none that may fall due, it costs one command. `due`: where jobs are of which one
 * may fall due meanwhile.
 */
function highFirst (due: readonly string[]): string {
  return `
local server = redis
local redis = server
local prioritized = base .. 'prioritized'
if server.call('EXISTS', prioritized, ${due.map((type) => `base .. '${type}'`).join(', ')}) > 0 then
  redis = setmetatable({
    call = function (command, ...)
      if command == 'RPOPLPUSH' then
        local first = server.call('ZRANGE', prioritized, 0, 0, 'WITHSCORES')
        if first[2] and tonumber(first[2]) < ${PRIORITY_OF_NONE * SCORES_PER_PRIORITY} then
          server.call('ZREM', prioritized, first[1])
          server.call('LPUSH', base .. 'active', first[1])
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
const FETCHING = { moveToActive: evenIfFull + highFirst(['delayed']), moveToFinished: highFirst(['delayed']), moveToDelayed: highFirst(['delayed', 'active']) }

/**
 * BullMQ returns stalled jobs, whatever their priority, to the wait list (KEYS[2]): from there to the head of their priority. Which start was
 * lost is noted: the next one tells of it.
 */
function prioritizeStalled (lua: string): string {
  return `
${evenIfFull}local stalled = (function ()
${lua}
end)()
for _, id in ipairs(stalled) do
  redis.call('HSET', ARGV[2] .. id, '${LOST_START}', redis.call('HGET', ARGV[2] .. id, 'ats') or 0)
  local priority = tonumber(redis.call('HGET', ARGV[2] .. id, 'priority')) or 0
  if priority > 0 then
    redis.call('LREM', KEYS[2], -1, id)
    redis.call('ZADD', ARGV[2] .. 'prioritized', priority * ${SCORES_PER_PRIORITY}, id)
  end
end
return stalled`
}

export interface Script {
  readonly name: string
  readonly lua: string
  readonly numberOfKeys: number
}

/** Is called with one key, what all keys of its queue begin with, in place of the first arguments that BullMQ has for it. */
export interface ShortScript extends Script {
  readonly leftOut: number
}

/** The arguments of a script, as BullMQ has them, for its short form. */
export function shorten (args: readonly unknown[], { leftOut }: ShortScript, base: string): unknown[] {
  return [base, ...args.slice(leftOut)]
}

/** BullMQ's scripts that add jobs once more, by BullMQ's names, with a look at the room before: one command, as without. `client` has BullMQ's scripts. */
export function addingScripts (client: Client, args: ScriptArguments): ReadonlyMap<string, ShortScript> {
  return new Map(entries(ADDING).map(([original, name]) => [original, { ...short(scriptOf(client, original), args[original], guard), name }]))
}

/** BullMQ's script that makes a dead letter wait, with what comes before. `client` has BullMQ's scripts. */
export function retryScript (client: Client): Script {
  const { numberOfKeys, lua } = scriptOf(client, 'reprocessJob')
  return { name: RETRY, numberOfKeys, lua: revive + lua }
}

/** What takes the place of BullMQ's scripts that hand out jobs. `client` has BullMQ's scripts. */
export function fetchingScripts (client: Client, args: ScriptArguments): ReadonlyMap<string, ShortScript> {
  return new Map(entries(FETCHING).map(([original, before]) => [original, short(scriptOf(client, original, 'RPOPLPUSH'), args[original], before)]))
}

/** What takes the place of BullMQ's scripts that renew leases, and return jobs that lost them. `client` has BullMQ's scripts. */
export function leaseScripts (client: Client): Script[] {
  const extending = scriptOf(client, 'extendLocks')
  const stalling = scriptOf(client, 'moveStalledJobsToWait', 'return stalled')
  return [{ ...extending, lua: evenIfFull + extending.lua }, { ...stalling, lua: prioritizeStalled(stalling.lua) }]
}

function short ({ name, lua, numberOfKeys }: Script, args: readonly unknown[], prelude: string): ShortScript {
  return { name, lua: restoreKeys(args, numberOfKeys) + prelude + lua, numberOfKeys: 1, leftOut: numberOfKeys }
}

function entries<T extends object> (record: T): [keyof T, T[keyof T]][] {
  return Object.entries(record) as [keyof T, T[keyof T]][]
}

/** `part`: what a script must have, to be changed as it is here. */
function scriptOf (client: Client, original: string, part = ''): Script {
  const { scriptsSet } = client as unknown as { scriptsSet: Record<string, Omit<Script, 'name'>> }
  // BullMQ appends its version.
  const found = Object.entries(scriptsSet).find(([name, { lua }]) => name.startsWith(`${original}:`) && lua.includes(part))
  if (found === undefined) throw new Error(`the version of bullmq that is installed is not supported: its script '${original}' is another one`)
  const [name, { lua, numberOfKeys }] = found
  return { name, lua, numberOfKeys }
}
