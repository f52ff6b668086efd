import t from 'tap'
import '../helpers/file-timeout.ts'
import { redisUrl, skipped } from '../helpers/redis.ts'
import { rounds } from './rounds.ts'

if (await redisUrl() === undefined) skipped(t)
else rounds(t, new URL('../conformance/targets/redis.ts', import.meta.url))
