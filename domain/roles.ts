/** What a caller of the API may be, as the claim `role` of a token says. */
export const ROLES = ['customer', 'admin'] as const;
export type Role = (typeof ROLES)[number];
