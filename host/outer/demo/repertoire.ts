/** Ends every run, so that the user does not take the script for a model. */
export const DEMO_LINE = 'This was a scripted demo: no model was asked.'

export const repertoire = [
  '- "look around": lists the workspace and reads the file that says most about it',
  '- "write and run a program that prints the first 20 primes" (or Fibonacci numbers)',
  '- "find and fix the failing test": mends the sample project',
  '- "run: node --version", or any other command',
  '',
  'Afterwards: "again", "again with 30", "what did you do?".',
].join('\n')
