import type { DelegateHandler, JobDefinition } from '../../types/jobs.ts'
import type { ScheduleOptions, ScheduleRule } from '../../types/schedules.ts'
import { assertTakesDelegates } from '../enqueuer.ts'
import { InvalidOptionsError, kindOf, NotSupportedError } from '../errors.ts'
import { checkScheduleOptions, checkScheduleRule } from '../options.ts'
import type { Queue } from '../queue.ts'
import { Definition } from '../registry.ts'
import type { Runtime } from '../runtime.ts'
import { toError } from '../serialize-error.ts'
import { checkFunction, checkName } from '../validation.ts'
import { CronRule, MAX_PATTERN_LENGTH } from './cron.ts'
import { cronProblem } from './cron-problem.ts'
import { EveryRule } from './every.ts'
import { createHost, type Target } from './host.ts'
import { BoundedRule, type Rule } from './rule.ts'
import { Schedule, type Bounds } from './schedule.ts'
import { TickNames } from './tick-names.ts'

type GivenOptions = ScheduleOptions & { queue?: string }

/** Checks all that can be checked before the first tick comes. Throws FST_JOBS_INVALID_OPTIONS, _NOT_SUPPORTED or _NOT_SERIALIZABLE. */
export function createSchedule (runtime: Runtime, name: string, rule: ScheduleRule, job: string | JobDefinition | DelegateHandler, options: GivenOptions = {}): Schedule {
  checkName(name, 'schedule name')
  const subject = `schedule '${name}'`
  const { scheduler } = runtime
  if (!scheduler.isOpen) throw new InvalidOptionsError(`${subject}: it came after 'ready'; register schedules while plugins are registered`)
  if (scheduler.has(name)) throw new InvalidOptionsError(`${subject}: there is one of that name already`)
  checkScheduleOptions(options, subject)
  const limits = bounds(options, subject)
  const checked = checkRule(runtime, rule, subject)
  const target = typeof job === 'function' ? delegateTarget(runtime, name, job, options) : jobTarget(runtime, subject, job, options)
  checkCapabilities(target.queue, options)
  const names = new TickNames(name, target.queue.name, target.job)
  const host = createHost(runtime, name, target, names)
  const createRule = (startOfApp: number): Rule => {
    const plain = checked instanceof CronRule
      ? checked
      : new EveryRule(checked, options.startAt === undefined ? (host.shared ? 0 : startOfApp) : limits.startAt)
    return new BoundedRule(plain, limits.startAt, limits.endAt)
  }
  const described = checked instanceof CronRule ? { cron: checked.pattern, timezone: checked.timezone } : { every: checked }
  const description = { job: typeof job === 'function' ? 'delegate' : target.job, queue: target.queue.name, ...described }
  return new Schedule(name, description, createRule, { ...options, ...limits }, names, host)
}

function bounds (options: ScheduleOptions, subject: string): Bounds {
  const [startAt = -Infinity, endAt = Infinity] = (['startAt', 'endAt'] as const).map((option) => {
    const value = options[option]
    // A Date has whole milliseconds: ids and stores tell ticks apart by them.
    const time = value === undefined ? undefined : new Date(value).getTime()
    if (Number.isNaN(time)) throw new InvalidOptionsError(`${subject}: option '${option}' is an invalid Date`)
    return time
  })
  if (endAt < startAt) throw new InvalidOptionsError(`${subject}: option 'endAt' is before 'startAt'`)
  return { startAt, endAt }
}

/** Milliseconds, or the ticks of a cron pattern. */
function checkRule (runtime: Runtime, rule: ScheduleRule, subject: string): number | CronRule {
  if (typeof rule !== 'object' || rule === null || Array.isArray(rule)) throw new InvalidOptionsError(`${subject}: the rule must be { every } or { cron, timezone }, got ${kindOf(rule)}`)
  checkScheduleRule(rule, `rule of ${subject}`)
  const { every, cron, timezone } = rule
  if ((every === undefined) === (cron === undefined)) throw new InvalidOptionsError(`${subject}: the rule must have 'every' or 'cron', ${every === undefined ? 'it has neither' : 'not both'}`)
  if (every !== undefined) {
    if (timezone !== undefined) throw new InvalidOptionsError(`${subject}: 'timezone' goes with 'cron', not with 'every'`)
    return every
  }
  return cronRule(runtime, cron!, timezone ?? 'UTC', subject)
}

/** One for all schedules of the app with that pattern and time zone: it finds their next tick once. */
function cronRule ({ scheduler, clock }: Runtime, pattern: string, timezone: string, subject: string): CronRule {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new InvalidOptionsError(`${subject}: the cron pattern has ${pattern.length} characters, more than ${MAX_PATTERN_LENGTH}`)
  const key = `${timezone} ${pattern}`
  const known = scheduler.cronRules.get(key)
  if (known !== undefined) return known
  const rule = new CronRule(pattern, timezone)
  const problem = cronProblem(rule, clock.now())
  if (problem !== undefined) throw new InvalidOptionsError(`${subject}: the cron pattern '${pattern}' in time zone '${timezone}' cannot be used: ${problem}`)
  scheduler.cronRules.set(key, rule)
  return rule
}

function jobTarget ({ registry, enqueuer, lifecycle }: Runtime, subject: string, job: string | JobDefinition, { payload, queue }: GivenOptions): Target {
  const definition = job instanceof Definition ? job : typeof job === 'string' ? registry.find(job) : undefined
  if (definition === undefined || registry.find(definition.name) !== definition) {
    throw new InvalidOptionsError(`${subject}: ${typeof job === 'string' ? `there is no job '${job}'` : `the job must be a name, a definition or a function of this app, got ${kindOf(job)}`}; define the job before its schedule`)
  }
  if (queue !== undefined) throw new InvalidOptionsError(`${subject}: option 'queue' is for inline functions; job '${definition.name}' runs in queue '${definition.queue}'`)
  const original = usablePayload(definition, payload, subject)
  return {
    job: definition.name,
    queue: definition.lane,
    // A copy each: no handler sees what another one did to it.
    enqueue: async (options, tick) => enqueuer.enqueue(definition, structuredClone(original), { ...options, signal: lifecycle.stopping }, tick)
  }
}

function usablePayload (definition: Definition, payload: unknown, subject: string): unknown {
  try {
    const copy = structuredClone(payload)
    definition.checkPayload(copy)
    return copy
  } catch (error) {
    throw new InvalidOptionsError(`${subject}: its payload cannot be used: ${toError(error).message}`, { cause: error })
  }
}

function delegateTarget (runtime: Runtime, name: string, handler: DelegateHandler, { payload, queue = 'default' }: GivenOptions): Target {
  if (payload !== undefined) throw new InvalidOptionsError(`schedule '${name}': option 'payload' is for defined jobs; an inline function gets none`)
  checkFunction(handler, 1, `schedule '${name}': the inline function`)
  const target = runtime.queue(queue)
  assertTakesDelegates(target, name)
  return {
    job: name,
    queue: target,
    enqueue: async (options, tick) => runtime.enqueuer.enqueueDelegate(handler, target, { ...options, name, signal: runtime.lifecycle.stopping }, tick)
  }
}

function checkCapabilities ({ name, backend }: Queue, { overlap, jitter = 0, priority }: ScheduleOptions): void {
  const { unique, inspect, delay, priority: priorities } = backend.capabilities
  if (!unique) throw new NotSupportedError(backend.name, name, 'schedules: it has no unique keys')
  if (!inspect && overlap !== 'allow') throw new NotSupportedError(backend.name, name, "schedules with overlap: 'skip'; give overlap: 'allow'")
  if (!delay && jitter > 0) throw new NotSupportedError(backend.name, name, "schedules with 'jitter'")
  if (!priorities && priority !== undefined) throw new NotSupportedError(backend.name, name, "schedules with 'priority'")
}
