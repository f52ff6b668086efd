import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { plainEnv, root } from '../helpers/example.ts'

const run = promisify(execFile)
const recipes = await readFile(join(root, 'docs/recipes.md'), 'utf8')
const RECIPE = /^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```ts\n(.*?)^```\n\n```text\n(.*?)^```$/gms

const found = Array.from(recipes.matchAll(RECIPE), ([, title, code, output]) => ({ title: title!, code: code!, output: output! }))
t.equal(found.length, recipes.match(/^```ts$/gm)!.length, 'every snippet tells what it prints')

for (const [index, { title, code, output }] of found.entries()) {
  t.test(title, async (t) => {
    // In the tree, so that packages are found.
    const file = join(root, `.recipe-${process.pid}-${index}.ts`)
    t.teardown(() => rm(file, { force: true }))
    await writeFile(file, code.replaceAll(/'fastify-background-jobs(\/outbox)?'/g, (_, outbox) => `'${join(root, `lib${outbox ?? ''}/index.ts`)}'`))
    const { stdout, stderr } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', file], { env: { ...plainEnv, ...settings() }, timeout: 60_000 })
    t.equal(stderr, '')
    t.equal(stdout, output)
  })
}

function settings (): Record<string, string> {
  return {}
}
