/**
 * Where accounts, keys and certificates are kept, and how those who share them take turns. On the disk
 * it is `FolderStore`; several machines may share the folder.
 */

export interface SharedStore {
  /** @returns null if there is nothing under this key */
  read(key: string): Promise<string | null>;
  /** All of it or nothing is there afterwards, whatever happens meanwhile; nobody else may read it. */
  write(key: string, text: string): Promise<void>;
  /** Nothing happens if there is none. */
  remove(key: string): Promise<void>;
  /** Keys directly below "folder/…", whole, in no order. */
  list(folder: string): Promise<string[]>;
  /**
   * Waits until nobody else who shares the store holds this lock.
   * @throws {Error} the signal's reason, if that comes first
   */
  lock(key: string, signal: AbortSignal): Promise<StoreLock>;
}

/** Held until it is released; if the holder dies, others take it over after a while. */
export interface StoreLock {
  release(): Promise<void>;
}
