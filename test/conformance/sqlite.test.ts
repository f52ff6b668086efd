import t from 'tap'
import '../helpers/file-timeout.ts'
import { conformance } from './index.ts'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const supported = major > 22 || (major === 22 && minor >= 13)

if (supported) await conformance(t.test, new URL('targets/sqlite.ts', import.meta.url))
else t.pass('on SQLite', { skip: `NOT TESTED: Node ${process.version} has no node:sqlite` })
