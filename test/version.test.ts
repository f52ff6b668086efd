import { readFile } from 'node:fs/promises'
import t from 'tap'
import { VERSION } from '../lib/version.ts'

t.test('the version is that of the package', async (t) => {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  t.equal(VERSION, version, 'lib/version.ts and package.json are changed together')
})
