import t from 'tap'
import '../helpers/file-timeout.ts'
import { redisUrl, skipped } from '../helpers/redis.ts'
import { conformance } from './index.ts'

if (await redisUrl() === undefined) skipped(t)
else await conformance(t.test, new URL('targets/redis.ts', import.meta.url))
