import java.nio.file.Path;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.ResourceHandler;
import org.eclipse.jetty.util.resource.ResourceFactory;

/** Files as Jetty serves them: Jetty ROOT PORT. */
class Jetty {
    public static void main(String[] arguments) throws Exception {
        var server = new Server();
        var connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[1]));
        server.addConnector(connector);
        var files = new ResourceHandler();
        files.setBaseResource(ResourceFactory.of(server).newResource(Path.of(arguments[0])));
        server.setHandler(files);
        server.start();
        server.join();
    }
}
