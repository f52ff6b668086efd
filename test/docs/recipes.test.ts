import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import '../helpers/file-timeout.ts'
import { root } from '../helpers/child.ts'
import { outputOf, programsOf } from '../helpers/programs.ts'

const recipes = await programsOf('docs/recipes.md')
t.equal(recipes.length, (await readFile(join(root, 'docs/recipes.md'), 'utf8')).match(/^```ts$/gm)!.length, 'every snippet tells what it prints')

for (const { title, code, output } of recipes) {
  t.test(title, async (t) => {
    const printed = await outputOf(t, code)
    if (printed !== undefined) t.equal(printed, output)
  })
}
