import { CronRule } from '../../lib/schedules/cron.ts'
import { cronProblem } from '../../lib/schedules/cron-problem.ts'

/** What is wrong with a pattern, in a sentence; undefined when it ticks some time after `now`. */
export function problemOf (pattern: string, timezone = 'UTC', now = 0): string | undefined {
  return cronProblem(new CronRule(pattern, timezone), now)
}
