// Package admission is the one waiting room: the only place where a call waits
// for anything but its own provider.
//
// A Door lets calls of one route in while there is a place inside and some
// target can take the call now. Those of a higher class go first, and every class
// has its share of those that go in from the line. Inside a class tenants take
// turns by the tokens that they cost, as estimated at the door and corrected when
// the call has ended. Inside a tenant the oldest goes first. A queue stands when for
// a second nobody could go in without having waited for half of what calls may:
// then fewer are let join it, and when the waits are long even so, because the line
// moves more slowly than it did, the newest goes first: most of the old ones would
// give up before it is their turn.
//
// A call that cannot go in waits, for a short time that is bounded by its
// deadline, and never in a line longer than the door allows. When the line moves
// too slowly for a newcomer to get in before its time is over, it is refused at
// once: waiting first and failing then would cost the caller its time and nobody
// would gain anything. In a line that is full a call takes the room of one of a
// lower class, or of the tenant that fills its own class; batch calls fill half
// of it at most.
//
// Whoever releases something a call may have been waiting for (a permit, quota,
// a pause) says so with Wake; the line is looked at then, and when somebody
// arrives, leaves or comes back. A Door has no goroutine and polls nothing:
// what becomes free by time alone must be woken by who knows the time.
//
// A call that went in and found every target taken by someone faster comes back
// to the head of the line (Place.Back) with what is left of its time.
package admission
