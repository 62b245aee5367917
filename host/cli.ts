#!/usr/bin/env node
import { main } from './cli/program.ts'

// A reader that leaves (`codexbox … | head`) is no error of ours.
process.stdout.on('error', () => process.exit(0))

process.exitCode = await main(process.argv)
