import t from 'tap'
import '../helpers/file-timeout.ts'
import { redisUrl, skipped } from '../helpers/redis.ts'
import { deaths } from './deaths.ts'
import { withLab } from './lab.ts'

if (await redisUrl() === undefined) {
  skipped(t)
} else {
  const target = new URL('../conformance/targets/redis.ts', import.meta.url)
  for (const { name, run } of deaths) t.test(name, () => withLab(target, run))
}
