export function slim(source: string): string;
