export const config = { sites: [{ to: "localhost:3000" }] };
