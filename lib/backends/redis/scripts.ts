/** What a cancelled job's `returnvalue` is: tools show it as completed, not as a failure. */
export const CANCELLED = '{"outcome":"cancelled"}'

/** BullMQ's factor between a priority and the score of its first job. */
export const SCORES_PER_PRIORITY = 0x100000000
/** BullMQ's delayed jobs are ordered by time and a counter. */
export const SCORES_PER_MILLISECOND = 0x1000
/** As many as our own jobs can have; a foreign producer may have used more. */
const PRIORITIES = 2001

/**
 * A mark where a job would be stored keeps BullMQ from storing it there, as any job of that id does: this is how an
 * enqueue is called off inside the transaction that BullMQ's own script is part of. The last command removes the mark.
 */
const MARK = 'refused'

/**
 * 1 when a job has this id, in whatever queue, 0 when it is free; a job that was cancelled gives its id to the next one, unless that
 * one is kept out already.
 */
const claimId = `
if redis.call('HEXISTS', KEYS[1], '${MARK}') == 1 then return 1 end
local known = 0
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local job = redis.call('HMGET', KEYS[i], 'returnvalue', 'finishedOn')
    if job[1] == ARGV[2] and job[2] then
      redis.call('ZREM', KEYS[i + 1], ARGV[1])
      redis.call('DEL', KEYS[i], KEYS[i] .. ':logs')
    else
      known = 1
    end
  end
end
if known == 1 then redis.call('HSETNX', KEYS[1], '${MARK}', 1) end
return known`

/** Writes, to keys that differ, and changes nothing: fails where jobs of the queue could not be stored. */
const tryOut = `
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])`

/** Jobs that hold room. */
const held = 'redis.call(\'LLEN\', KEYS[1]) + redis.call(\'ZCARD\', KEYS[2]) + redis.call(\'ZCARD\', KEYS[3])'

/** 1 when there is no room for so many jobs, which are then kept out. */
const guard = `
if ${held} + #KEYS - 3 <= tonumber(ARGV[1]) then return 0 end
for i = 4, #KEYS do redis.call('HSETNX', KEYS[i], '${MARK}', 1) end
return 1`

/** Seconds by which a tick may be ahead of the server's clock. Further ahead it comes from a clock that was wrong, and does not count. */
const MAX_AHEAD = 60

/** The latest tick that was enqueued under the key ARGV[1], and the id of its job; nil when there is none. */
const latestTick = `
local latest, id = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%S+) (.*)$')
latest = tonumber(latest)
if latest and latest > (redis.call('TIME')[1] + ${MAX_AHEAD}) * 1000 then latest = nil end
local at = tonumber(ARGV[2])
`

/** The id of the job that a job with the tick ARGV[2] is a duplicate of, which is then kept out; nil when there is none. */
const claimTick = `${latestTick}
if not latest or (at ~= latest and at >= latest - ARGV[3]) then return false end
redis.call('HSETNX', KEYS[2], '${MARK}', 1)
return id`

/** Remembers the tick of a job that was added just now: one that was kept out has the mark, or no name. */
const rememberTick = `${latestTick}
if redis.call('HEXISTS', KEYS[2], '${MARK}') == 1 or redis.call('HEXISTS', KEYS[2], 'name') == 0 then return end
if not latest or at > latest then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3]) end`

const unmark = `
for _, key in ipairs(KEYS) do
  if redis.call('HDEL', key, '${MARK}') == 1 and redis.call('HEXISTS', key, 'name') == 0 then redis.call('DEL', key) end
end`

/** A job's hash, and where the job is: the last of all among those that wait, which takes the longer the more they are. */
const find = `
local job = redis.call('HGETALL', KEYS[1])
if #job > 0 then
  for i = 2, #KEYS do
    local found = redis.call(i <= 5 and 'ZSCORE' or 'LPOS', KEYS[i], ARGV[1])
    if found then return { job, i - 2, tostring(found) } end
  end
end
return { job }`

/**
 * When the job that has waited longest fell due: nil when none waits. It is the next one of the wait list or of a priority, or a
 * delayed job that is due (ARGV[2] is the time now) and that no worker has made wait yet. What it costs grows with the priorities
 * in use, not with the jobs. BullMQ removes the delay of a job's hash when it makes the job wait; the one in the options stays.
 */
const waitingSince = `
local heads = redis.call('LRANGE', KEYS[1], -1, -1)
local score = 0
for _ = 1, ${PRIORITIES} do
  local first = redis.call('ZRANGEBYSCORE', KEYS[2], score, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then break end
  table.insert(heads, first[1])
  score = (math.floor(first[2] / ${SCORES_PER_PRIORITY}) + 1) * ${SCORES_PER_PRIORITY}
end
local since
local function see (due)
  if due and (not since or due < since) then since = due end
end
for _, id in ipairs(heads) do
  local job = redis.call('HMGET', ARGV[1] .. id, 'due', 'timestamp', 'opts')
  local known, options = pcall(cjson.decode, job[3] or '')
  local delay = known and type(options) == 'table' and tonumber(options.delay) or 0
  see(tonumber(job[1]) or tonumber(job[2]) and tonumber(job[2]) + delay)
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local due = first[2] and math.floor(first[2] / ${SCORES_PER_MILLISECOND})
if due and due <= tonumber(ARGV[2]) then see(due) end
return since`

/** Takes a waiting job as a worker would: 1, or 0 when it does not wait. */
const takeBack = `
if redis.call('ZREM', KEYS[1], ARGV[1]) + redis.call('ZREM', KEYS[2], ARGV[1]) + redis.call('LREM', KEYS[3], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[4], ARGV[1])
redis.call('SET', KEYS[5] .. ':lock', ARGV[2], 'PX', ARGV[3])
return 1`

/** Forgets a dead letter and its unique key: 1, or 0 when there is none. Tools hear of it as of every job that was removed. */
const forget = `
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
local uniqueKey = redis.call('HGET', KEYS[2], 'deid')
if uniqueKey and redis.call('GET', KEYS[3] .. ':' .. uniqueKey) == ARGV[1] then redis.call('DEL', KEYS[3] .. ':' .. uniqueKey) end
redis.call('DEL', KEYS[2], KEYS[2] .. ':logs')
redis.call('XADD', KEYS[4], '*', 'event', 'removed', 'jobId', ARGV[1], 'prev', 'failed')
return 1`

/** Lets a unique key outlive its job, which is about to end: only whoever has the job's lock may. */
const keepKey = `
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end`

/** Gives the unique key to a job that runs again, for as long as it takes. */
const retakeKey = `
local holder = redis.call('GET', KEYS[1])
if not holder then redis.call('SET', KEYS[1], ARGV[1]) elseif holder == ARGV[1] then redis.call('PERSIST', KEYS[1]) end`

const scripts = {
  jobsIsStored: 'return redis.call(\'EXISTS\', KEYS[1])',
  jobsClaimId: claimId,
  jobsDepth: `return ${held}`,
  jobsTryOut: tryOut,
  jobsGuard: guard,
  jobsClaimTick: claimTick,
  jobsRememberTick: rememberTick,
  jobsUnmark: unmark,
  jobsFind: find,
  jobsWaitingSince: waitingSince,
  jobsTakeBack: takeBack,
  jobsForget: forget,
  jobsKeepKey: keepKey,
  jobsRetakeKey: retakeKey
}

export type ScriptName = keyof typeof scripts

interface Evaluator { eval (lua: string, numberOfKeys: number, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> }

/**
 * `client`: a connection, or a transaction that collects commands. The script itself is sent, not its digest: Redis may have
 * forgotten it, which ends no transaction, and what is sent anew comes behind what was to follow it.
 */
export function run (client: object, name: ScriptName, keys: readonly string[], args: readonly (string | number)[] = []): Promise<unknown> {
  return (client as Evaluator).eval(scripts[name], keys.length, keys, args)
}
