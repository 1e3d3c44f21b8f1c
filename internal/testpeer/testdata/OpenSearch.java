import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One OpenSearch node on 127.0.0.1, its data below DIR, where a node that was killed finds it again. The write pool
 * has QUEUE places behind THREADS threads. Every setting more is NAME=VALUE.
 *
 * <p>java OpenSearch DIR HTTP_PORT TRANSPORT_PORT THREADS QUEUE [NAME=VALUE...]
 */
public class OpenSearch {
  public static void main(String[] args) throws Exception {
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild(
        (number, settings) -> {
          settings.put("network.host", "127.0.0.1");
          settings.put("http.port", args[1]);
          settings.put("transport.port", args[2]);
          settings.put("discovery.type", "single-node");
          settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
          settings.put("thread_pool.write.size", Integer.parseInt(args[3]));
          settings.put("thread_pool.write.queue_size", Integer.parseInt(args[4]));
          for (int i = 5; i < args.length; i++) {
            String[] setting = args[i].split("=", 2);
            settings.put(setting[0], setting[1]);
          }
        });
    // The runner's own ports stop at 9299 and mean nothing here; the settings above win.
    runner.build(new String[] {"-basePath", args[0], "-numOfNode", "1", "-clusterName", "test", "-printOnFailure"});
    runner.ensureYellow();
    System.out.println("READY");
    Thread.currentThread().join();
  }
}
