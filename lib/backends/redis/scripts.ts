/** What a cancelled job's `returnvalue` is: tools show it as completed, not as a failure. */
export const CANCELLED = '{"outcome":"cancelled"}'

/** 1 when a job has this id, 0 when it is free; a job that was cancelled gives its id to the next one. */
const claimId = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local job = redis.call('HMGET', KEYS[1], 'returnvalue', 'finishedOn')
if job[1] ~= ARGV[2] or not job[2] then return 1 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[1] .. ':logs')
return 0`

/** Takes a waiting job as a worker would: 1, or 0 when it does not wait. */
const takeBack = `
if redis.call('ZREM', KEYS[1], ARGV[1]) + redis.call('ZREM', KEYS[2], ARGV[1]) + redis.call('LREM', KEYS[3], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[4], ARGV[1])
redis.call('SET', KEYS[5] .. ':lock', ARGV[2], 'PX', ARGV[3])
return 1`

/** Readies a dead letter for a new life: 1, or 0 when there is none or another job has its unique key, which is taken for a moment. */
const revive = `
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
if ARGV[2] == '1' then
  local holder = redis.call('GET', KEYS[3])
  if holder and holder ~= ARGV[1] then return 0 end
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[4])
end
redis.call('HDEL', KEYS[1], 'stc', 'stacktrace', 'error', 'progress', 'defa')
redis.call('HSET', KEYS[1], 'due', ARGV[3])
return 1`

/** Lets a unique key outlive its job, which is about to end: only whoever has the job's lock may. */
const keepKey = `
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end`

/** Gives the unique key to a job that runs again, for as long as it takes. */
const retakeKey = `
local holder = redis.call('GET', KEYS[1])
if not holder then redis.call('SET', KEYS[1], ARGV[1]) elseif holder == ARGV[1] then redis.call('PERSIST', KEYS[1]) end`

const scripts = {
  jobsClaimId: { keys: 2, lua: claimId },
  jobsTakeBack: { keys: 5, lua: takeBack },
  jobsRevive: { keys: 3, lua: revive },
  jobsKeepKey: { keys: 2, lua: keepKey },
  jobsRetakeKey: { keys: 1, lua: retakeKey }
}

export type ScriptName = keyof typeof scripts

export function defineScripts (client: { defineCommand (name: string, definition: { numberOfKeys: number, lua: string }): void }): void {
  for (const [name, { keys, lua }] of Object.entries(scripts)) client.defineCommand(name, { numberOfKeys: keys, lua })
}

/** `client`: a connection, or a transaction that collects commands. */
export function run (client: { runCommand (name: string, args: unknown[]): unknown }, name: ScriptName, args: (string | number)[]): Promise<unknown> {
  return client.runCommand(name, args) as Promise<unknown>
}
