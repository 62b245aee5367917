import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CodexboxError, messageOf } from '../../../shared/errors.ts'

/**
 * The bug in the sample project. JavaScript sorts numbers as text by default, so 50 and 5 come before
 * 200; small amounts are still right.
 */
export const sampleBug = {
  wrong: '[...COINS].sort().reverse()',
  right: '[...COINS].sort((a, b) => b - a)',
  why: '`sort()` without a comparison orders numbers as text, so 5 counts as larger than 200',
}

/**
 * Writes a small project with one failing test into `folder`. The project needs only Node. Resolves
 * with false, and changes nothing, when the folder is not empty.
 * @throws CodexboxError `workspace-invalid` when the folder cannot be made, read or written.
 */
export async function layOutSampleProject(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true })
    if ((await readdir(folder)).length > 0) return false
    for (const [name, text] of Object.entries(sampleFiles)) {
      // `wx`: never overwrites a file that another process has just created.
      await writeFile(join(folder, name), text, { flag: 'wx' })
    }
    return true
  } catch (error) {
    throw new CodexboxError(
      'workspace-invalid',
      `Could not lay out the sample project in ${folder}: ${messageOf(error)}. Name another folder.`,
      { cause: error },
    )
  }
}

const sampleFiles = {
  'README.md': `# Lemonade stand

The till of a lemonade stand, small enough to read in a minute.

    till.mjs        what an order costs, and which coins to hand back
    stand.mjs       sells two lemonades and a cookie: node stand.mjs
    till.test.mjs   the tests: node --test

One of the tests fails. The till never cheats anybody, but on a busy day it runs out of small coins.
`,

  'till.mjs': `/** Amounts are whole cents. */
export const COINS = [1, 2, 5, 10, 20, 50, 100, 200]

/** What an order costs: lines of { price, count }. */
export function total(order) {
  return order.reduce((sum, { price, count }) => sum + price * count, 0)
}

/** The coins to hand back for an amount: the largest first, as few as possible. */
export function change(amount) {
  const handedBack = []
  for (const coin of ${sampleBug.wrong}) {
    while (amount >= coin) {
      handedBack.push(coin)
      amount -= coin
    }
  }
  return handedBack
}
`,

  'stand.mjs': `import { change, total } from './till.mjs'

const order = [
  { name: 'lemonade', price: 120, count: 2 },
  { name: 'cookie', price: 80, count: 1 },
]
const paid = 500

const euros = (cents) => (cents / 100).toFixed(2).padStart(6)

for (const { name, price, count } of order) {
  console.log(\`\${count} x \${name.padEnd(10)} \${euros(price * count)}\`)
}
const cost = total(order)
console.log(\`\${'total'.padEnd(14)} \${euros(cost)}\`)
console.log(\`\${'paid'.padEnd(14)} \${euros(paid)}\`)
console.log(\`\${'change'.padEnd(14)} \${euros(paid - cost)}  in coins of \${change(paid - cost).join(', ')}\`)
`,

  'till.test.mjs': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { change, total } from './till.mjs'

test('an order costs the sum of its lines', () => {
  assert.equal(total([{ price: 120, count: 2 }, { price: 80, count: 1 }]), 320)
})

test('an empty order costs nothing', () => {
  assert.equal(total([]), 0)
})

test('small change is handed back largest coin first', () => {
  assert.deepEqual(change(8), [5, 2, 1])
})

test('the coins always add up to the amount', () => {
  for (let amount = 0; amount <= 500; amount++) {
    const sum = change(amount).reduce((total, coin) => total + coin, 0)
    assert.equal(sum, amount)
  }
})

test('as few coins as possible are handed back', () => {
  assert.deepEqual(change(230), [200, 20, 10])
})
`,
}
