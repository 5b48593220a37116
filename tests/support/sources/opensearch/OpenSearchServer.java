import org.codelibs.opensearch.runner.OpenSearchRunner;

/** An OpenSearch node without plugins of its own, until the process ends. */
public class OpenSearchServer {
    public static void main(String[] arguments) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("discovery.type", "single-node");
            settings.put("http.host", "127.0.0.1");
            settings.put("http.port", arguments[1]);
            settings.put("transport.port", arguments[2]);
        });
        runner.build(OpenSearchRunner.newConfigs()
            .basePath(arguments[0]).numOfNode(1).clusterName("nudge-sync-tests"));
        Thread.sleep(Long.MAX_VALUE);
    }
}
