import t from 'tap'
import '../helpers/file-timeout.ts'
import { conformance } from '../conformance/index.ts'

await conformance(t.test, new URL('../../example/custom-backend/target.ts', import.meta.url))
