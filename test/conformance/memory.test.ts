import t from 'tap'
import '../helpers/file-timeout.ts'
import { conformance } from './index.ts'

for (const target of ['memory', 'memory-serialized']) {
  t.test(target, async (t) => conformance(t.test, new URL(`targets/${target}.ts`, import.meta.url)))
}
