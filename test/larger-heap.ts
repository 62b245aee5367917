/** Node 26 has more memory in use than Node 20 before it collects any; between these nothing was measured. */
export const hasLargerHeap = Number(process.versions.node.split('.')[0]) > 22
