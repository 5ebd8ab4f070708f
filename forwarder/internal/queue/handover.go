package queue

// Resize changes for how many messages, and bytes of them, there is room. What is in the queue stays.
func (q *Memory) Resize(capacity int, bytes int64) {
	q.mu.Lock()
	q.capacity, q.capacityBytes = capacity, bytes
	q.notFull.Broadcast()
	q.mu.Unlock()
}

// Is tells whether o, after Init, describes the directory of this queue.
func (q *Disk) Is(o *Options) bool { return Path(o.Dir, q.options.name) == q.options.dir }

// Change gives the queue other options for the same directory. Whether it is reliable cannot change if what is in memory
// alone cannot be written: that is the error, and the rest is as o says.
func (q *Disk) Change(o *Options) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changing = true // Append waits
	for q.writing || q.options.Reliable && len(q.tail) > 0 {
		q.changed.Wait()
	}
	reliable := o.Reliable
	for reliable && !q.options.Reliable && q.messages > 0 {
		if err = q.spill(); err != nil {
			reliable = false
		}
	}
	own := &q.options
	own.Reliable, own.Capacity, own.FrontCacheSize, own.WhenFull = reliable, o.Capacity, o.FrontCacheSize, o.WhenFull
	own.frontBytes = o.frontBytes
	own.SyncInterval, own.SyncBytes, own.SyncMessages = o.SyncInterval, o.SyncBytes, o.SyncMessages
	q.changing = false
	q.changed.Broadcast()
	return err
}
