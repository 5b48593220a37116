"""What tests share and the product does not ship: models of the world, and helpers around them.

Begin with the model that holds what the test is about:

- `sample_collection.SampleCollection`: 400 points on which nudging helps, 900 queries and their
  answers, on any engine. For whole cycles: does it help, what moves, what comes back.
- `tracked_collection.TrackedCollection`: ten points, and the vector that the application last
  wrote to each. For the write path: whatever happens, no original is lost and every bit comes
  back.
- `nudged_collection.NudgedCollection`: a sample collection after one cycle, whose stored records
  a test damages. For what must be refused by name.
- `cold.hub_collection`: documents in topics, and queries that all lie off them in one direction.
  For what nudging does to documents without feedback.
- `turned_collection`: queries that are all turned away from their answers by one rotation. For
  query adapters.
- `collection_model.CollectionModel`: a collection in plain dictionaries that knows nothing of
  shadow, history or digests, and says what each point may hold.
- `collection_state_machine.CollectionStateMachine`: any mix of cycle, crash, rollback and
  application write, drawn by Hypothesis and compared with that model after each step.
- `clocked_log.ClockedLog`: a log, the blocks of its days, and a clock that a test moves. For what
  is read of feedback, and from where.
- `workspace.Workspace`: a folder with shards, a configuration and a file of feedback. For the
  command line.

What happens to them:

- `applications.Application`: what an application does to its own collection, through each
  engine's own client.
- `paused_writer.PausedWriter` and `interventions`: a change that is stopped at one call, in a
  thread, and what somebody else does meanwhile.
- `chaos_runner.ChaosRunner` and `chaos_process`: processes that are killed while they change a
  collection.
- `qdrant_server`: real Qdrant servers, one or three as a cluster, with certificates, keys and
  tokens; and nodes that die while a sidecar works.
- `console.console_site.ConsoleSite`: a console over a sample collection, and browsers that
  are signed in.
- `operations`: the daemon as a process, a connector whose servers can be taken away, a Prometheus
  that scrapes the daemon, and the tools that check what `deploy/` holds.
- `workers.worker_tasks`: processes of a real cluster, and tasks for them that last, fail or kill.
- `broken_collections` and `broken_records`: connectors that each break one promise of the
  contract, for the conformance kit to find.
- `sources`: products that keep traces and searches, filled by their own clients. Phoenix, MLflow
  and OpenSearch are real servers; for Langfuse and LangSmith one takes what their clients send.
- `passing_plan` and `fake_plan`: plans with vectors of a test's own choosing, and one made up
  without a database.

The rest is plumbing: servers and backdoors of the engines, unit vectors, folders in memory, time
limits, and the repository's own source and pages for the tests that hold its rules.
"""
