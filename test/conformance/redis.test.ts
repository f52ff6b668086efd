import t from 'tap'
import { conformance } from './index.ts'

await conformance(t.test, new URL('targets/redis.ts', import.meta.url))
