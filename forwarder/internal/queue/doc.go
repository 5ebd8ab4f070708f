// Package queue keeps what a destination still has to send: whole batches of formatted messages, in order, until they are
// acknowledged. [Memory] keeps them in memory, [Disk] in a directory of its own, so that they outlive the process.
//
// # Directory
//
//	lock                                a Disk that is open holds flock(2) on it
//	position                            which messages are acknowledged
//	0000000000000000-5e1f00d5.segment   a segment: the number of its first message, and its salt
//	quarantine/                         bytes that are no record, one file for each place where such were found
//
// Messages are numbered from 0 as they are appended; a number is never used twice while the queue has messages. Some are
// missing in the segments: those that were acknowledged before they had to be written, and those that could not be written.
//
// # Segment
//
// All numbers are little endian, checksums are CRC-32C (RFC 3720, appendix B.4).
//
//	offset  size
//	     0     8  "kadqueue"
//	     8     4  checksum of all that follows in the header
//	    12     4  version, 1
//	    16     8  when it was made: nanoseconds since 1970, for information
//	    24     2  length of the name
//	    26     n  name of the queue, that of its destination
//
// Records follow without a gap, one for each batch:
//
//	 0     4  d8 6b 61 64, the mark by which a record is found behind damage
//	 4     4  checksum of the salt (4 bytes) and the next 24 bytes
//	 8     4  checksum of the body
//	12     4  length of the body
//	16     8  number of the first message
//	24     8  when it was written: nanoseconds since 1970, for information
//	32        body: number of messages, length of the key, length of each message, as unsigned varints (as in
//	          encoding/binary); the key; the messages
//
// The salt is random and stands in no message that a sender can make, so bytes of a message are never taken for a record.
//
// # Position
//
//	 0     8  "kadqpos1"
//	 8     8  number of the oldest message that is not acknowledged, or that is held: its receiver may not have read it
//	16     4  checksum of the 16 bytes before
//
// # Invariants
//
//   - A segment is written under another name and renamed when its header is on the disk: under its name it is never without.
//   - Segments are sorted by their names, and so are the numbers of their messages. One process appends to a segment, a
//     later one makes a new segment, and a segment is never appended to after a write or fdatasync(2) of it failed: the
//     kernel may have forgotten what it could not write.
//   - In a reliable queue Append returns when its record is synced, and the directory that names its segment.
//   - A segment is removed when all of its messages are acknowledged and none is held, and the last of them too, when it has
//     grown.
//   - The position is written anew and renamed, at the latest a second or a megabyte after the acknowledgement. It is never
//     beyond what is held.
//
// # After a crash
//
// The last segment may end in part of a record: nobody was told that it is taken, and Open cuts it. The position may be
// behind: what was sent since is sent again. A file "*.tmp" may be left: Open removes it. All else is damage. Where a record
// should be and is none, the next one is looked for; what lies between goes to quarantine and is counted, and what follows
// is delivered.
package queue
