import java.nio.file.Files;
import org.apache.catalina.Context;
import org.apache.catalina.servlets.DefaultServlet;

/** Files as the default servlet of Tomcat serves them: Tomcat ROOT PORT. */
class Tomcat {
    public static void main(String[] arguments) throws Exception {
        var tomcat = new org.apache.catalina.startup.Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(Integer.parseInt(arguments[1]));
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", arguments[0]);
        org.apache.catalina.startup.Tomcat.addServlet(context, "default", new DefaultServlet());
        context.addServletMappingDecoded("/", "default");
        context.addWelcomeFile("index.html");
        tomcat.start();
        tomcat.getServer().await();
    }
}
